// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token for tests and demonstrations of a deployment that settles in one
/// @notice OpenZeppelin's ERC-20, unchanged: 18 decimals, a fixed supply, all of it the deployer's at first.
contract DemoToken is ERC20 {
    constructor(uint256 supplyWei) ERC20("Affidavit Demo Token", "ADT") {
        _mint(msg.sender, supplyWei);
    }
}
