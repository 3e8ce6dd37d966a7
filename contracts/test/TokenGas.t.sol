// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Request} from "../src/libraries/Types.sol";
import {Deployment} from "./Deployment.sol";
import {TokenDeployment} from "./TokenDeployment.sol";
import {vm} from "./Vm.sol";
import {DemoToken} from "./tokens/DemoToken.sol";

/// @title What a fee costs on its way in, through an answer, and out; kept in contracts/snapshots
/// @notice Each call is a transaction of its own, as in Gas.t.sol. Balances were there before, and leave something
///         behind; what is deposited was approved before, and not all of it is taken.
abstract contract SettlementGas is Deployment {
    address internal constant ASKER = address(0xA11CE);
    address payable internal constant TO = payable(address(0x70));

    function group() internal pure virtual returns (string memory);

    /// @dev What `ASKER` puts in by itself.
    function deposit(uint256 amountWei) internal virtual;

    /// @dev `TO` has some of the asset before anything is measured.
    function begin() internal virtual;

    function test_AFeeInThroughAnAnswerAndOut() public {
        fund(ASKER, 2000);
        for (uint256 i; i < OPERATORS; ++i) {
            fund(operatorAt(i), 1);
        }
        begin();
        deposit(1000);
        vm.snapshotGasLastCall(group(), "deposit");
        Request memory asked = nextRequest(ASKER, new bytes(128), quorumPolicy(2, 0), 1000, 0);
        vm.prank(ASKER);
        coprocessor.requestFromBalance(modelId, new bytes(128), asked.policy, 1000, 0, asked.deadline, asked.refundTo);
        vm.snapshotGasLastCall(group(), "requestFromBalance, input of 128 bytes");
        coprocessor.deliver(asked, "", new bytes(20), evidenceOf(asked, new bytes(20), 2));
        vm.snapshotGasLastCall(group(), "deliver, signers: 2");
        vm.prank(operatorAt(0));
        coprocessor.withdraw(500, TO);
        vm.snapshotGasLastCall(group(), "withdraw");
        vm.assertEq(assetsOf(TO), 501);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 1);
    }
}

/// forge-config: default.isolate = true
contract EtherGasTest is SettlementGas {
    function group() internal pure override returns (string memory) {
        return "SettlementInEther";
    }

    function begin() internal override {
        vm.deal(TO, 1);
    }

    function deposit(uint256 amountWei) internal override {
        vm.deal(ASKER, 2 * amountWei);
        vm.prank(ASKER);
        coprocessor.deposit{value: amountWei}();
    }
}

/// @dev With OpenZeppelin's ERC-20; another token's transfers cost what they cost.
/// forge-config: default.isolate = true
contract TokenGasTest is SettlementGas, TokenDeployment {
    function group() internal pure override returns (string memory) {
        return "SettlementInAToken";
    }

    function begin() internal override {
        supply(TO, TO, 1);
        supply(ASKER, address(coprocessor), 2000);
    }

    function deposit(uint256 amountWei) internal override {
        vm.prank(ASKER);
        coprocessor.depositToken(amountWei);
    }

    function deployAsset() internal override(Deployment, TokenDeployment) returns (address) {
        return deployShipped("DemoToken", abi.encode(uint256(1e30)));
    }

    function supply(address account, address spender, uint256 amountWei) internal override {
        DemoToken(asset).transfer(account, amountWei);
        vm.prank(account);
        DemoToken(asset).approve(spender, amountWei);
    }

    function stake(address operator, uint8 index, address signer, bytes memory possession)
        internal
        override(Deployment, TokenDeployment)
    {
        TokenDeployment.stake(operator, index, signer, possession);
    }

    function raise(address operator, uint256 amountWei) internal override(Deployment, TokenDeployment) {
        TokenDeployment.raise(operator, amountWei);
    }

    function fund(address account, uint256 amountWei) internal override(Deployment, TokenDeployment) {
        TokenDeployment.fund(account, amountWei);
    }

    function askAndPay(Request memory asked, bytes memory input)
        internal
        override(Deployment, TokenDeployment)
        returns (bytes32 id)
    {
        return TokenDeployment.askAndPay(asked, input);
    }

    function assetsOf(address account) internal view override(Deployment, TokenDeployment) returns (uint256) {
        return TokenDeployment.assetsOf(account);
    }
}
