// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {vm} from "./Vm.sol";
import {OddToken} from "./hostile/OddToken.sol";

/// @title The same deployment, settling in an ERC-20 token: honest until a test tells it otherwise
abstract contract TokenDeployment is Deployment {
    function deployAsset() internal virtual override returns (address) {
        return deploy("OddToken", vm.getCode("OddToken.sol:OddToken"));
    }

    function stake(address operator, uint8 index, address signer, bytes memory possession) internal virtual override {
        supply(operator, address(operators), MIN_STAKE_WEI);
        vm.prank(operator);
        operators.registerWithToken(index, signer, possession, MIN_STAKE_WEI);
    }

    function raise(address operator, uint256 amountWei) internal virtual override {
        supply(operator, address(operators), amountWei);
        vm.prank(operator);
        operators.addTokenStake(amountWei);
    }

    function fund(address account, uint256 amountWei) internal virtual override {
        supply(address(this), address(coprocessor), amountWei);
        coprocessor.depositTokenFor(account, amountWei);
    }

    function askAndPay(Request memory asked, bytes memory input) internal virtual override returns (bytes32 id) {
        fund(asked.requester, asked.feeWei);
        vm.prank(asked.requester);
        return coprocessor.requestFromBalance(
            asked.modelId, input, asked.policy, asked.feeWei, asked.callbackGas, asked.deadline, asked.refundTo
        );
    }

    function assetsOf(address account) internal view virtual override returns (uint256) {
        return OddToken(asset).balanceOf(account);
    }

    /// @dev New tokens for `account`, approved for `spender`.
    function supply(address account, address spender, uint256 amountWei) internal virtual {
        OddToken(asset).mint(account, amountWei);
        vm.prank(account);
        OddToken(asset).approve(spender, amountWei);
    }
}
