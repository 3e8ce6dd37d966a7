// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Coprocessor} from "../src/Coprocessor.sol";
import {ICoprocessor} from "../src/interfaces/ICoprocessor.sol";
import {ITreasury} from "../src/interfaces/ITreasury.sol";
import {Evidence, Request} from "../src/libraries/Types.sol";
import {TokenDeployment} from "./TokenDeployment.sol";
import {bound, vm} from "./Vm.sol";
import {OddToken, SilentToken} from "./hostile/OddToken.sol";

/// @title A deployment that settles in a token, and what a token can do to it
/// @notice Everything here is tried against the Coprocessor's balances and the OperatorRegistry's stakes alike.
contract TreasuryTest is TokenDeployment {
    address payable private constant TO = payable(address(0x70));
    address private constant ASKER = address(0xA11CE);
    OddToken private token;

    function setUp() public override {
        super.setUp();
        token = OddToken(asset);
    }

    // ---- the life of a fee and of a stake ---------------------------------------------------------------------

    function test_AFeeGoesFromTheAskerThroughTheEscrowToTheOperators() public {
        Request memory asked = ask(ASKER, "x", quorumPolicy(2, 0), 11, 0);
        vm.assertEq(token.balanceOf(address(coprocessor)), 11);
        vm.assertEq(coprocessor.balanceOf(ASKER), 0);
        coprocessor.deliver(asked, "", "y", evidenceOf(asked, "y", 2));
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 6);
        vm.prank(operatorAt(1));
        coprocessor.withdraw(5, TO);
        vm.assertEq(token.balanceOf(TO), 5);
        vm.assertEq(coprocessor.heldTokensWei(), 6);
    }

    function test_ARefundIsCreditedInTheToken() public {
        Request memory asked = ask(ASKER, "x", quorumPolicy(2, 0), 11, 0);
        vm.warp(asked.deadline + 1);
        coprocessor.refund(asked);
        vm.prank(REFUND_TO);
        coprocessor.withdraw(11, TO);
        vm.assertEq(token.balanceOf(TO), 11);
    }

    function test_ASignedRequestIsPaidFromTheDepositedToken() public {
        uint256 key = uint256(keccak256("requester"));
        Request memory asked = nextRequest(vm.addr(key), "x", quorumPolicy(1, 0), 10, 0);
        asked.nonce = 1 << 128;
        bytes memory signature = signDigest(key, coprocessor.computeRequestId(asked));
        bytes memory unpaid = abi.encodeWithSelector(ICoprocessor.Unpaid.selector, vm.addr(key), 10, 9);
        Evidence[] memory evidence = evidenceOf(asked, "y", 1);
        fund(vm.addr(key), 9);
        vm.expectRevert(unpaid);
        coprocessor.deliverSigned(asked, signature, "", "y", evidence);
        fund(vm.addr(key), 1);
        coprocessor.deliverSigned(asked, signature, "", "y", evidence);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 10);
    }

    function test_ALiarsStakeIsHalfTheChallengersInTheToken() public {
        truth.learn(modelId, "x", "true");
        Request memory asked = ask(ASKER, "x", quorumPolicy(1, 600), 10, 0);
        coprocessor.deliver(asked, "", "y", evidenceOf(asked, "y", 1));
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = signDigest(keyOf(0), claimDigestOf(asked, "y"));
        frauds.proveWrong(claimOf(asked, "y"), signatures, "x", "true", proofOf(asked, "true", TO));
        vm.prank(TO);
        operators.withdrawOwed(TO);
        vm.assertEq(token.balanceOf(TO), MIN_STAKE_WEI / 2);
    }

    function test_AStakeGrowsAndComesBack() public {
        supply(operatorAt(0), address(operators), 5);
        vm.prank(operatorAt(0));
        operators.addTokenStake(5);
        vm.assertEq(operators.stakeOf(operatorAt(0)), MIN_STAKE_WEI + 5);
        exitAndWithdraw(0);
        vm.assertEq(token.balanceOf(TO), MIN_STAKE_WEI + 5);
    }

    function test_ATokenThatAnswersNothingIsTaken() public {
        SilentToken silent = SilentToken(deploy("SilentToken", vm.getCode("OddToken.sol:SilentToken")));
        coprocessor = deployCoprocessor(address(silent));
        silent.mint(address(this), 10);
        silent.approve(address(coprocessor), 10);
        coprocessor.depositToken(10);
        coprocessor.withdraw(4, TO);
        vm.assertEq(silent.balanceOf(TO), 4);
        vm.assertEq(coprocessor.balanceOf(address(this)), 6);
    }

    /// @dev Every unit held is somebody's stake or owed to somebody, whatever was slashed and withdrawn.
    function testFuzz_StakesAndDebtsAreAllThatIsHeld(uint96[8] calldata slashedWei, uint8 leaving) public {
        uint256 restWei;
        for (uint256 i; i < OPERATORS; ++i) {
            uint256 amountWei = bound(slashedWei[i], 0, MIN_STAKE_WEI);
            vm.prank(address(frauds));
            operators.slash(operatorAt(i), amountWei, TO);
            restWei += amountWei;
            if ((leaving >> i) & 1 == 1) exitAndWithdraw(i);
            else restWei += operators.stakeOf(operatorAt(i));
        }
        vm.assertEq(token.balanceOf(address(operators)), restWei);
        vm.assertEq(operators.heldTokensWei(), restWei);
    }

    // ---- the other asset --------------------------------------------------------------------------------------

    function test_EtherIsRefusedWhereTheAssetIsAToken() public {
        bytes memory notEther = abi.encodeWithSelector(ITreasury.NotEther.selector, address(token));
        vm.deal(address(this), 10);
        vm.expectRevert(notEther);
        coprocessor.deposit{value: 1}();
        vm.expectRevert(notEther);
        coprocessor.depositFor{value: 1}(ASKER);
        vm.expectRevert(notEther);
        coprocessor.request{value: 1}(modelId, "x", quorumPolicy(1, 0), 0, uint64(block.timestamp), ASKER);
        vm.expectRevert(notEther);
        operators.register{value: 1}(1, ASKER, "");
        vm.expectRevert(notEther);
        operators.addStake{value: 1}();
        coprocessor.request(modelId, "x", quorumPolicy(1, 0), 0, uint64(block.timestamp), ASKER);
    }

    function test_TokensAreRefusedWhereTheAssetIsEther() public {
        coprocessor = deployCoprocessor(address(0));
        asset = address(0);
        operators = deployOperators(address(0));
        bytes memory notAToken = abi.encodeWithSelector(ITreasury.NotAToken.selector, address(0));
        vm.expectRevert(notAToken);
        coprocessor.depositToken(1);
        vm.expectRevert(notAToken);
        coprocessor.depositTokenFor(ASKER, 1);
        vm.expectRevert(notAToken);
        operators.registerWithToken(1, ASKER, "", 1);
        vm.expectRevert(notAToken);
        operators.addTokenStake(1);
    }

    function test_WhatHasNoCodeIsNoToken() public {
        bytes memory creation = vm.getCode("Coprocessor.sol:Coprocessor");
        for (uint256 i; i < 2; ++i) {
            bytes memory all =
                bytes.concat(creation, abi.encode(models, router, disputes, i == 0 ? ASKER : address(token)));
            address created;
            assembly {
                created := create(0, add(all, 0x20), mload(all))
            }
            vm.assertEq(created != address(0), i == 1);
        }
    }

    function test_NobodyAsksForMoreThanItsBalance() public {
        fund(ASKER, 9);
        vm.prank(ASKER);
        vm.expectRevert(abi.encodeWithSelector(ICoprocessor.Unpaid.selector, ASKER, 10, 9));
        coprocessor.requestFromBalance(modelId, "x", quorumPolicy(1, 0), 10, 0, uint64(block.timestamp), ASKER);
    }

    function test_TheZeroAddressIsNobody() public {
        vm.expectRevert(ICoprocessor.ZeroRecipient.selector);
        coprocessor.depositTokenFor(address(0), 1);
    }

    // ---- tokens that lie --------------------------------------------------------------------------------------

    function test_NothingIsTakenInThatDidNotArrive() public {
        requireInRefused(OddToken.Mood.FEE_ON_TRANSFER, ITreasury.TokensMiscounted.selector);
        requireInRefused(OddToken.Mood.GENEROUS, ITreasury.TokensMiscounted.selector);
        requireInRefused(OddToken.Mood.LIAR, ITreasury.TokensMiscounted.selector);
        requireInRefused(OddToken.Mood.FALSE, SafeERC20.SafeERC20FailedOperation.selector);
        requireInRefused(OddToken.Mood.REVERT, bytes4(keccak256("Error(string)")));
    }

    function test_NothingGoesOutThatCostsTheOthers() public {
        requireOutRefused(OddToken.Mood.FEE_ON_SENDER, ITreasury.TokensMiscounted.selector);
        requireOutRefused(OddToken.Mood.LIAR, ITreasury.TokensMiscounted.selector);
        requireOutRefused(OddToken.Mood.FALSE, SafeERC20.SafeERC20FailedOperation.selector);
        requireOutRefused(OddToken.Mood.REVERT, bytes4(keccak256("Error(string)")));
    }

    function test_NoMoreThanFitsIsHeld() public {
        uint256 mostWei = type(uint128).max;
        fund(ASKER, mostWei - 1);
        supply(address(this), address(coprocessor), 2);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.AmountTooHigh.selector, 2));
        coprocessor.depositToken(2);
        coprocessor.depositToken(1);
        vm.assertEq(coprocessor.heldTokensWei(), mostWei);
    }

    /// @dev A token that rebases down: nobody new is drawn in, and what is there can be taken out.
    function test_OfATokenThatTakesAwayNothingMoreIsTaken() public {
        fund(ASKER, 10);
        token.shrink(address(coprocessor), 1);
        supply(address(this), address(coprocessor), 1);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.TokensMissing.selector, 10, 9));
        coprocessor.depositToken(1);
        vm.prank(ASKER);
        vm.expectRevert(abi.encodeWithSelector(ITreasury.TokensMissing.selector, 10, 9));
        coprocessor.withdraw(10, TO);
        vm.prank(ASKER);
        coprocessor.withdraw(9, TO);
        vm.assertEq(token.balanceOf(TO), 9);
    }

    /// @dev A token with a blocklist: who is on it is paid, slashed and refunded as ever, and takes it out elsewhere.
    function test_WhoCannotTakeTheTokenHoldsUpNobody() public {
        token.freeze(operatorAt(0));
        Request memory asked = ask(ASKER, "x", quorumPolicy(2, 0), 10, 0);
        coprocessor.deliver(asked, "x", "y", evidenceOf(asked, "y", 2));
        vm.prank(operatorAt(1));
        coprocessor.withdraw(5, payable(operatorAt(1)));
        vm.prank(operatorAt(0));
        vm.expectRevert(bytes("frozen"));
        coprocessor.withdraw(5, payable(operatorAt(0)));
        vm.prank(operatorAt(0));
        coprocessor.withdraw(5, TO);
        vm.prank(address(frauds));
        operators.slash(operatorAt(0), 7, operatorAt(1));
        vm.prank(operatorAt(0));
        operators.beginExit();
        vm.warp(vm.getBlockTimestamp() + UNBONDING_SECONDS);
        vm.prank(operatorAt(0));
        operators.withdrawStake(TO);
        vm.assertEq(token.balanceOf(TO), 5 + MIN_STAKE_WEI - 7);
    }

    /// @dev Tokens that are given for nothing are nobody's, and change no count.
    function test_GiftsAreNotCounted() public {
        fund(ASKER, 10);
        token.mint(address(coprocessor), 5);
        vm.assertEq(coprocessor.heldTokensWei(), 10);
        fund(ASKER, 1);
        vm.prank(ASKER);
        coprocessor.withdraw(11, TO);
        vm.assertEq(token.balanceOf(address(coprocessor)), 5);
    }

    /// @dev With a hook that calls back, money coming in twice between two measurements would be counted twice.
    function test_ATokenThatCallsBackFindsTheDoorClosed() public {
        fund(address(token), 10);
        supply(address(token), address(coprocessor), 10);
        bytes4 closed = ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector;
        bytes[] memory calls = new bytes[](3);
        calls[0] = abi.encodeCall(coprocessor.depositToken, (1));
        calls[1] = abi.encodeCall(coprocessor.depositTokenFor, (ASKER, 1));
        calls[2] = abi.encodeCall(coprocessor.withdraw, (1, TO));
        for (uint256 i; i < calls.length; ++i) {
            supply(address(this), address(coprocessor), 5);
            token.hookOnce(address(coprocessor), calls[i]);
            vm.expectRevert(closed);
            coprocessor.depositToken(5);
            vm.prank(address(token));
            vm.expectRevert(closed);
            coprocessor.withdraw(1, TO);
        }
        calls = new bytes[](4);
        calls[0] = abi.encodeCall(operators.addTokenStake, (1));
        calls[1] = abi.encodeCall(operators.withdrawOwed, (TO));
        calls[3] = abi.encodeCall(operators.registerWithToken, (1, ASKER, "", 1));
        calls[2] = abi.encodeCall(operators.withdrawStake, (TO));
        for (uint256 i; i < calls.length; ++i) {
            supply(operatorAt(0), address(operators), 5);
            token.hookOnce(address(operators), calls[i]);
            vm.prank(operatorAt(0));
            vm.expectRevert(closed);
            operators.addTokenStake(5);
        }
    }

    function test_AWithdrawalToItselfIsRefused() public {
        fund(ASKER, 10);
        vm.prank(ASKER);
        vm.expectPartialRevert(ITreasury.TokensMiscounted.selector);
        coprocessor.withdraw(1, payable(address(coprocessor)));
    }

    // ---- inside -----------------------------------------------------------------------------------------------

    function deployCoprocessor(address asset_) private returns (Coprocessor) {
        return Coprocessor(deployShipped("Coprocessor", abi.encode(models, router, address(0), asset_)));
    }

    function exitAndWithdraw(uint256 i) private {
        vm.prank(operatorAt(i));
        operators.beginExit();
        vm.warp(block.timestamp + UNBONDING_SECONDS);
        vm.prank(operatorAt(i));
        operators.withdrawStake(TO);
    }

    function requireInRefused(OddToken.Mood mood, bytes4 reason) private {
        supply(operatorAt(0), address(coprocessor), 5);
        token.setMood(mood);
        vm.prank(operatorAt(0));
        vm.expectPartialRevert(reason);
        coprocessor.depositToken(5);
        token.setMood(OddToken.Mood.HONEST);
        supply(operatorAt(0), address(operators), 5);
        token.setMood(mood);
        vm.prank(operatorAt(0));
        vm.expectPartialRevert(reason);
        operators.addTokenStake(5);
        token.setMood(OddToken.Mood.HONEST);
        vm.assertEq(coprocessor.balanceOf(operatorAt(0)), 0);
        vm.assertEq(operators.stakeOf(operatorAt(0)), MIN_STAKE_WEI);
    }

    function requireOutRefused(OddToken.Mood mood, bytes4 reason) private {
        fund(operatorAt(0), 5);
        fund(ASKER, 5);
        uint256 heldWei = IERC20(asset).balanceOf(address(coprocessor));
        token.setMood(mood);
        vm.prank(operatorAt(0));
        vm.expectPartialRevert(reason);
        coprocessor.withdraw(5, TO);
        token.setMood(OddToken.Mood.HONEST);
        vm.assertEq(IERC20(asset).balanceOf(address(coprocessor)), heldWei);
        vm.assertEq(coprocessor.heldTokensWei(), heldWei);
    }
}
